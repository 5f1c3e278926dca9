"""The answer of ``kinspect capture``, in each output format."""
