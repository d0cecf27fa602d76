"""A folder of photographs that is searched by words."""


class Photographs:
    pass
