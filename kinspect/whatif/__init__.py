"""The API after a change: what the API server and the controllers would make of it.

Takes the API's lists as they were read and gives the lists as they would be: services, pods and
nodes with the change, and the EndpointSlices that follow from them (``slices``). It knows nothing
of rules; ``kubeproxy`` makes those from the result, as from any cluster.
"""
