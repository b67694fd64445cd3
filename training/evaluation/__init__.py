"""One evaluation: what is measured on which frames, how often, and in which folder."""
