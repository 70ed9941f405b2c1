"""Serves the workloads of a file the way a service written with FastAPI does, and prints its port."""

import json
import socket
import sys

import uvicorn
from fastapi import FastAPI

with open(sys.argv[1], encoding="utf-8") as file:
    workloads = json.load(file)

app = FastAPI()


@app.get("/workloads")
async def list_workloads():
    return workloads


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
