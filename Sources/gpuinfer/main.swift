print("gpuinfer")
