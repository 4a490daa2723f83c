import MMoETensor

/// Recordings as log-mel spectrograms `[1, mels, frames]`, cut into rectangular patches as images are (AST, Gong et al.,
/// arXiv 2104.01778).
public struct AudioModality: SampledModality {
  public static let name = "audio"
  public static let mels = ModalitySetting(
    "model.audio_mels", 64, range: 1...1024, "mel bands of a recording's spectrogram")
  public static let frames = ModalitySetting(
    "model.audio_frames", 128, range: 1...65536, "frames of the spectrogram; longer recordings are cut")
  public static let patchMels = ModalitySetting(
    "model.audio_patch_mels", 16, range: 1...1024, "mel bands of a patch; must divide model.audio_mels")
  public static let patchFrames = ModalitySetting(
    "model.audio_patch_frames", 8, range: 1...65536, "frames of a patch; must divide model.audio_frames")

  public init() {}

  public var name: String { AudioModality.name }
  public var sample: String { "audio" }
  public var settings: [ModalitySetting] {
    [AudioModality.mels, AudioModality.frames, AudioModality.patchMels, AudioModality.patchFrames]
  }

  private func grid(_ config: ModelConfig) -> PatchGrid {
    let values = config.modalitySettings
    return PatchGrid(
      channels: 1, height: values[AudioModality.mels], width: values[AudioModality.frames],
      patchHeight: values[AudioModality.patchMels], patchWidth: values[AudioModality.patchFrames])
  }

  public func validate(_ config: ModelConfig) throws {
    let values = config.modalitySettings
    for (patch, whole) in [
      (AudioModality.patchMels, AudioModality.mels), (AudioModality.patchFrames, AudioModality.frames),
    ] where values[whole] % values[patch] != 0 {
      throw ModelError(
        "\(patch.key) is \(values[patch]), which does not divide \(whole.key) \(values[whole]); choose a divisor")
    }
  }

  public func shape(_ config: ModelConfig) -> [Int] {
    let grid = grid(config)
    return [grid.channels, grid.height, grid.width]
  }
  public func rows(_ config: ModelConfig) -> Int { grid(config).tokens }

  public func shape(tower: inout ModelConfig, of config: ModelConfig) { tower.vision = VisionConfig() }

  public func makeEncoder(_ store: ParameterStore, _ config: ModelConfig) -> any SampleEncoder {
    PatchEmbedding(store, "audio_embedding", positions: "audio_positions", grid(config), width: config.width)
  }

  public func operations(_ config: ModelConfig) -> [ModelOperation] {
    ModelOperation.patchEmbedding(grid(config), width: config.width)
  }
}
