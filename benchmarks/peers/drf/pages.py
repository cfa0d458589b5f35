"""How many there are on a page, as clients ask for it."""

from rest_framework.pagination import PageNumberPagination


class Pages(PageNumberPagination):
    page_size_query_param = "size"
