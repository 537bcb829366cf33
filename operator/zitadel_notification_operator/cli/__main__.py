"""Makes `python -m zitadel_notification_operator.cli` the same as `znp`."""

from . import main

main()
