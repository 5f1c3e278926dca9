"""The API after a change: as the API server and the controllers would leave it.

Takes the API's lists as they were read and returns the lists as they would be: services, pods and nodes
with the change, and the EndpointSlices that follow from them (``slices``). It does not know rules;
``kubeproxy`` makes those from the result, as from any cluster.
"""
