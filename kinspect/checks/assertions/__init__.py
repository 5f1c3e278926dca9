"""The assertions of ``kinspect check``: one module for each, from followed traffic to findings."""
