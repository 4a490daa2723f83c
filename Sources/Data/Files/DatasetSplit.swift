/// One part of a data set.
public enum DatasetSplit: String, Sendable, Codable, CaseIterable {
  case train
  case val
}
