"""The commands about manifests: plan, export, convert."""
