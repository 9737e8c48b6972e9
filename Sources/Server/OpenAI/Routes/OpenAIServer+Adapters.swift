internal import JSON

extension OpenAIServer {
  /// /v1/load_lora_adapter and /v1/unload_lora_adapter, as vLLM has them.
  ///
  /// They read files of the server's machine by a path from the request, so a server must have been told to allow it.
  func changeAdapters(_ request: HTTPRequest, _ route: Route) throws(APIError) -> HTTPResponse {
    guard options.allowsAdapterUpdates else {
      throw APIError(
        404, .pathNotFound,
        "\(route.template) is turned off. Start the server with --allow-runtime-lora-updating, or with "
          + "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1, to let clients load and unload adapters.")
    }
    let model = try servingModel()
    let body = try RequestBody.object(request)
    try route.requestSchema?.validate(body)
    let name = body["lora_name"]?.string ?? ""
    if route == .unloadAdapter {
      try model.adapters.unload(name)
      return .text("Success: LoRA adapter '\(name)' removed successfully.")
    }
    if model.names.contains(name) {
      throw .invalid("'\(name)' is the name of the model itself.", "lora_name")
    }
    try model.adapters.load(
      name, path: body["lora_path"]?.string ?? "", replaces: body["load_inplace"]?.bool ?? false)
    return .text("Success: LoRA adapter '\(name)' added successfully.")
  }
}
