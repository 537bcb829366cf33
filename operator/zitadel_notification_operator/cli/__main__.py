"""Makes `python -m zitadel_notification_operator.cli` the same as `znp`."""

from zitadel_notification_operator.cli import main

main()
