# The explorer on a machine with an NVIDIA GPU; torch's wheels bring CUDA, so only the driver and the container toolkit
# have to be on the host. See docs/installing.md.
FROM python:3.11-slim

WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .

ENV CIRCUITS_CACHE=/data
VOLUME /data
EXPOSE 8501
CMD ["streamlit", "run", "app.py", "--server.address=0.0.0.0"]
