"""The pages of ``kinspect explain``, in each output format."""
