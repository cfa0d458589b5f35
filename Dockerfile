# Crema as one small image: no compiler, no embedded database, nobody's root.
#
#   docker build -t crema .
#   docker build -t crema --build-arg PYTHON_IMAGE=…   another Debian with Python 3.11 or newer

ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /app
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/app/.venv
# Colours of the command line, which nobody sees here.
ENV LEFT_OUT="--no-install-package rich --no-install-package pygments --no-install-package markdown-it-py"
RUN python3 -m venv /uv && /uv/bin/pip install --quiet --no-cache-dir 'uv>=0.9'
# The libraries first, by their hashes: this layer lasts until the lock changes.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN /uv/bin/uv sync --quiet --locked --no-dev --no-install-project --extra redis --python "$(command -v python3)" $LEFT_OUT
COPY src src
RUN /uv/bin/uv sync --quiet --locked --no-dev --no-editable --extra redis --python "$(command -v python3)" $LEFT_OUT \
    && find .venv -name '*.so*' -type f -exec strip --strip-unneeded {} + \
    && find .venv -type d -name tests -prune -exec rm -r {} +

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --home-dir /data crema && install -d -o crema -g crema /data
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    TYPER_USE_RICH=0 CREMA_ENV=production CREMA_HOST=0.0.0.0 CREMA_DATA_DIR=/data
USER crema
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=3)"]
CMD ["crema", "serve"]
