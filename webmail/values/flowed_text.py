"""Text of format=flowed (RFC 3676): lines that its sender's program broke are joined again."""


def join_flowed_lines(text: str, *, delete_space: bool = False) -> str:
    """Return the paragraphs as lines; `delete_space` is DelSp=yes, for languages without spaces between words.

    Lines are joined only within one quotation depth (§4.5); quotation marks are written as ">" and a space.
    """
    out: list[str] = []
    open_depth = -1  # quotation depth of the paragraph that the last line continues
    for line in text.split("\n"):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        content = content.removeprefix(" ")  # space-stuffing (§4.4)
        if content == "-- ":  # a signature's line is never flowed (§4.3)
            out.append(_quoted(depth, content))
            open_depth = -1
            continue
        is_flowed = content.endswith(" ")
        kept = content[:-1] if is_flowed and delete_space else content
        if depth == open_depth:
            out[-1] += kept
        else:
            out.append(_quoted(depth, kept))
        open_depth = depth if is_flowed else -1
    return "\n".join(line if line.endswith("-- ") else line.rstrip(" ") for line in out)


def _quoted(depth: int, content: str) -> str:
    return ">" * depth + " " * (depth > 0 and bool(content)) + content
