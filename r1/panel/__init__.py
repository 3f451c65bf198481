"""What `r1 top` shows: metrics read twice, figures made of them, a frame of text."""
