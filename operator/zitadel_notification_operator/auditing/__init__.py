"""What people who audit want to know of a ZITADEL: who changed what, and what holds.

It only reads. The modules, with imports from the top of the list down:

- `page`: the HTML page of a report.
- `rows`: changes and reports as JSON, as CSV and as lines of text.
- `report`: reads what is in force for each organization, since when and by whom.
- `rights`: what a credential may do, and which role it lacks.
- `reading`: reads the event log and the list of organizations, page by page.
- `standing`, `selection`: what the log says of what is in force, and of one
  organization. They are pure, as are the two below.
- `ledger`: turns events into changes.
- `period`: the beginning of a period.
"""
