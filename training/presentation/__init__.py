"""Results for readers: tables, charts, pages, and the papers' figures beside ours."""
