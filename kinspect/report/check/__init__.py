"""The answer of ``kinspect check``, in each output format."""
