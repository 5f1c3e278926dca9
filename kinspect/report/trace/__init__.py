"""The answer of ``kinspect trace``, in each output format."""
