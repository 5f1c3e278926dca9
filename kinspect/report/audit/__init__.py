"""The answer of ``kinspect audit``, in each output format."""
