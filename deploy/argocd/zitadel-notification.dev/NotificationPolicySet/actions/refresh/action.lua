local os = require("os")

if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
-- The operator handles each new value once, and then copies it to the status.
obj.metadata.annotations["zitadel-notification.dev/reconcile-requested-at"] = os.date("!%Y-%m-%dT%XZ")

return obj
