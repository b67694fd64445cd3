"""The page that the study writes of its results."""

from training.study.page.page import write_page

__all__ = ["write_page"]
