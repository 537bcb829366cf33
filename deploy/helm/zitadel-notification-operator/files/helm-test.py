"""Whether an installed release works; run by `helm test` in the operator's image.

/readyz says that the CRDs are served and all objects known to the replica that answers.
"""

import sys
import urllib.request

ANSWER = 10
"""Seconds that one answer may take."""

url = sys.argv[1]
with urllib.request.urlopen(url, timeout=ANSWER) as answer:
    print(url, answer.status, answer.read().decode())
