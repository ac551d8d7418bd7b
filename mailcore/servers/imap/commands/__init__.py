"""One function a command, by theme: read the arguments, check, ask the store, write what is untagged, answer."""
