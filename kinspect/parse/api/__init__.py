"""The API's lists of objects to the model."""
