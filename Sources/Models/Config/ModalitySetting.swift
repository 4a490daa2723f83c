/// A whole number by which a modality's samples or encoder are described, with its key, such as `model.audio_mels`.
public struct ModalitySetting: Sendable, Hashable {
  public let key: String
  /// Where nothing is said.
  public let standard: Int
  public let range: ClosedRange<Int>
  /// What the key means, for the help.
  public let summary: String

  public init(_ key: String, _ standard: Int, range: ClosedRange<Int>, _ summary: String) {
    (self.key, self.standard, self.range, self.summary) = (key, standard, range, summary)
  }
}

/// The values of the modalities' settings.
public struct ModalitySettings: Sendable, Equatable {
  /// Of those that are not at their standard.
  private var values: [String: Int] = [:]

  public init() {}

  public subscript(_ setting: ModalitySetting) -> Int {
    get { values[setting.key] ?? setting.standard }
    set { values[setting.key] = newValue == setting.standard ? nil : newValue }
  }
}
