"""The process of the operator, from its start to its end.

`operator` starts it, listens, serves for as long as the CRDs allow, and ends it.
`serving` builds and runs what serves; `kinds` finds out which CRDs there are.

The process lives only as long as all of its parts do. If a task, a watch or a listener
dies, the process ends with an error, and its supervisor, such as the kubelet, restarts
it.
"""

from .operator import Operator, PortTaken
from .settings import Settings

__all__ = ["Operator", "PortTaken", "Settings"]
