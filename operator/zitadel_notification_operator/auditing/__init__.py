"""What people who audit want to know of a ZITADEL: who changed what, and what holds.

It only reads. The modules, with imports from the top of the list down:

- `page`: the HTML page of a report.
- `rows`: changes and reports as JSON, as CSV and as lines of text.
- `report`: reads what is in force for each organization, since when and by whom.
- `reading`: reads the event log and the list of organizations, page by page.
- `rights`: what a credential may do, and which role it lacks.
- `ledger`: turns events into changes; pure, as are `standing` and `period`.
"""
