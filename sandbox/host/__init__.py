"""The function host: indexes a `function_app.py` with Microsoft's own runtime and wakes it as the .NET host would.

Where a detail is copied from the real host, the comment names the source file in Azure/azure-functions-host (`host:`),
Azure/azure-webjobs-sdk-extensions (`ext:`) or Azure/azure-sdk-for-net (`sdk:`).
"""
