"""The events that a hub raises through Event Grid.

https://learn.microsoft.com/azure/event-grid/event-schema-iot-hub
"""

import uuid
from datetime import datetime
from typing import Any

Json = dict[str, Any]


def lifecycle_event(kind: str, hub: str, twin: Json, now: datetime) -> Json:
    """DeviceCreated or DeviceDeleted. The twin in it is a default one, as the page warns: whoever wants to know how
    the device authenticates or what its tags are has to read the registry. `deviceEtag` is the word "null".
    """
    moment = event_time(now)
    untouched = {"$metadata": {"$lastUpdated": moment}, "$version": 1}
    default = {
        "deviceId": twin["deviceId"],
        "etag": "AAAAAAAAAAE=",
        "deviceEtag": "null",
        "status": "enabled",
        "statusUpdateTime": "0001-01-01T00:00:00",
        "connectionState": "Disconnected",
        "lastActivityTime": "0001-01-01T00:00:00",
        "cloudToDeviceMessageCount": 0,
        "authenticationType": "sas",
        "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
        "version": 2,
        "properties": {"desired": untouched, "reported": untouched},
    }
    device_id = twin["deviceId"]
    return envelope(kind, hub, device_id, moment, {"twin": default, "hubName": hub, "deviceId": device_id})


def connection_event(kind: str, hub: str, device_id: str, sequence: str, now: datetime) -> Json:
    """DeviceConnected or DeviceDisconnected."""
    state = {"sequenceNumber": sequence}
    data = {"deviceConnectionStateEventInfo": state, "hubName": hub, "deviceId": device_id, "moduleId": ""}
    return envelope(kind, hub, device_id, event_time(now), data)


def envelope(kind: str, hub: str, device_id: str, moment: str, data: Json) -> Json:
    group = "/SUBSCRIPTIONS/00000000-0000-4000-8000-000000000000/RESOURCEGROUPS/SANDBOX"
    return {
        "id": str(uuid.uuid4()),
        "topic": f"{group}/PROVIDERS/MICROSOFT.DEVICES/IOTHUBS/{hub.upper()}",
        "subject": f"devices/{device_id}",
        "eventType": f"Microsoft.Devices.{kind}",
        "eventTime": moment,
        "data": data,
        "dataVersion": "1",
        "metadataVersion": "1",
    }


def event_time(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
