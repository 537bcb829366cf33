"""Checks that an installed release works; `helm test` runs it in the operator's image.

/readyz succeeds if the CRDs are served and the replica has listed all objects.
"""

import sys
import urllib.request

ANSWER = 10
"""The timeout of the request in seconds."""

url = sys.argv[1]
with urllib.request.urlopen(url, timeout=ANSWER) as answer:
    print(url, answer.status, answer.read().decode())
