"""Manifests of our own kinds: reading them, and writing them with comments.

Reading:

- `reading`: finds the objects in files, folders and standard input.
- `sources`: which files these are; `documents`: the documents within a text;
  `objects`: the objects within those.
- `checking`: whether Kubernetes would accept an object of ours, by the `schema` of its
  kind and the `rules` in it.
- `errors`: what a reader of manifests is told when something is wrong with them.

Writing:

- `manifest`: an object with comments; `object_names`: what it is called.
- `writing`: manifests as a stream of YAML or JSON; `yaml_text`: YAML for people.
- `survey`: what a ZITADEL holds; `exporting`: manifests of that;
  `terraform_import`: the way back.
- `conversion`: manifests of what other tools hold.
"""
