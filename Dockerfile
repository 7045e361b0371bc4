# One image for the bridge, the workers and Flower; what it runs is the service's command.
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1
WORKDIR /app

COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
RUN pip install --no-cache-dir .

COPY tasks tasks
RUN useradd --system --uid 10001 --no-create-home lanebridge
USER lanebridge

CMD ["lanebridge", "run"]
