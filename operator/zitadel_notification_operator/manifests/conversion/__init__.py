"""Makes manifests of what other tools hold: Terraform, Pulumi, truvity, Crossplane.

Each tool has a module with a function that takes a text and returns what it found.
`policies` makes manifests of that. Nothing is guessed: what cannot be read is a problem
that names it. Values of files are shown only where they are names or ids.
"""
