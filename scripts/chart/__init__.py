"""What the Helm chart takes from the rest of the project, rendered into its folder.

python -m scripts.chart            write every such file
python -m scripts.chart readme     write one of them: catalog, schema or readme
python -m scripts.chart --check    exit 1 with the names of those that are stale
"""
