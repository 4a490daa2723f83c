import MMoEData

/// The preset of a run that names none, chosen by its data.
public struct PresetChoice: Sendable, Equatable {
  public let preset: String
  /// What is set beyond it, as `--set` does, before what the user sets.
  public let settings: [String]
  /// One line: what was chosen and why.
  public let reason: String

  public init(preset: String, settings: [String] = [], reason: String) {
    (self.preset, self.settings, self.reason) = (preset, settings, reason)
  }

  /// By the size of the images, and by whether they have colors: what has none is often writing, which is not mirrored.
  ///
  /// - Throws: `DataError` for a folder that cannot be read.
  static func images(_ path: String) throws -> PresetChoice? {
    guard let sample = try ImageSample(of: path) else { return nil }
    let found =
      "the images' shorter side is \(sample.shorterSide) pixels (median of \(sample.count))\(sample.isGrey ? ", without colors" : "")"
    func choice(_ preset: String, _ side: Int, settings: [String] = [], _ augmentation: String) -> PresetChoice {
      PresetChoice(
        preset: preset, settings: settings,
        reason:
          "preset \(preset): \(found); the input is \(side) x \(side); in training images are \(augmentation); --preset chooses another (mmoe presets)"
      )
    }
    if sample.isGrey, sample.shorterSide < 48 {
      return choice("vit-grey", 28, "neither moved nor mirrored (data.crop, data.flip)")
    }
    let (preset, side) =
      switch sample.shorterSide {
      case ..<48: ("vit-cifar", 32)
      case ..<80: ("vit-photos-64", 64)
      case ..<112: ("vit-photos-96", 96)
      default: ("vit-photos-128", 128)
      }
    return sample.isGrey
      ? choice(preset, side, settings: ["data.flip=false"], "moved, not mirrored (data.crop, data.flip)")
      : choice(preset, side, "moved, mirrored and varied in color (data.crop, data.flip, data.jitter)")
  }
}
