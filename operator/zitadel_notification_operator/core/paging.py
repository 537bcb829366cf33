"""How many rows a search asks for at once, and what happens if that is too many.

ZITADEL's administrators set the maximum (`SystemDefaults.MaxQueryLimit`), a proxy may
limit the size of answers, and long names make rows long. A page size that is refused is
therefore halved.
"""

SMALLEST = 10
"""The smallest page in rows. If it is refused, the size is not the cause."""


class PageSize:
    """The number of rows of one page, kept as long as the process knows the instance.

    Args:
        rows: The size to begin with.
    """

    def __init__(self, rows: int) -> None:
        self.rows = self._most = rows

    def halve(self) -> bool:
        """Halve the page size. Return False if it cannot become smaller.

        If even the smallest page is refused, the size is not the cause, and the size
        goes back to the one at the beginning.
        """
        if self.rows <= SMALLEST:
            self.rows = self._most
            return False
        self.rows = max(self.rows // 2, SMALLEST)
        return True
