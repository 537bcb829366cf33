return {
  refresh = { disabled = false },
}
