# Two stages, whose steps are the project's own scripts: build the relocatable folder, then carry only that.
#
#   docker build -t gpuinfer .
#   docker run --rm -p 8000:8000 gpuinfer                                 # the demo model
#   docker run --rm -p 8000:8000 --gpus all gpuinfer                      # on an NVIDIA host
#   docker run --rm -p 8000:8000 -v /models/my-model:/model:ro gpuinfer serve /model --host 0.0.0.0
FROM swift:6.3-bookworm AS build
WORKDIR /src
COPY . .
RUN Scripts/build-cuda --library && Scripts/package && mkdir /out && tar -C /out --strip-components=1 -xJf dist/gpuinfer-*.tar.xz

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --no-create-home gpuinfer
COPY --from=build /out /opt/gpuinfer
# What the NVIDIA container toolkit hands in when it is asked for GPUs; without it these do nothing.
ENV PATH=/opt/gpuinfer/bin:$PATH NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["gpuinfer"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
