local os = require("os")

if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
-- Any text that differs from the last one is handled once; the status repeats it then.
obj.metadata.annotations["zitadel-notification.dev/reconcile-requested-at"] = os.date("!%Y-%m-%dT%XZ")

return obj
