# One image for the three services and the migrations; which one runs is the command.
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/laurel
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY laurel laurel
COPY services services
COPY migrations migrations
COPY programs programs
RUN /opt/laurel/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin laurel
COPY --from=build /opt/laurel /opt/laurel
ENV PATH=/opt/laurel/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=2
# The volume of the admin key takes its owner from here.
RUN install -d -o 10001 -m 700 /run/laurel
USER 10001
WORKDIR /
EXPOSE 8080
# No default: every service names its own.
CMD ["laurel", "--help"]
