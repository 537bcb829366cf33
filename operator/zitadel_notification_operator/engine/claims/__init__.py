"""What Kubernetes holds, and who owns which target.

This room owns the cache of our objects, the claims between policies, the marks by which
owners keep the original value, and all writes to our objects, so that their echoes are
recognized. It answers who may use an instance, who owns a target, and whether an object
is deleted because its CRD is. It makes no call to ZITADEL and knows no connections.
"""
