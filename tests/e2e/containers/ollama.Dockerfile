# A real Ollama and one model, in place of the official image.
FROM debian:bookworm-slim
COPY ollama /usr/bin/ollama
COPY *.gguf Modelfile.* /models/
ENTRYPOINT ["/usr/bin/ollama"]
CMD ["serve"]
