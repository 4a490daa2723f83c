import Foundation

/// A folder in memory where the fuzzed files lie, one for a process.
let fuzzFolder: String = {
  let path = "/dev/shm/mmoe-fuzz-\(getpid())"
  mkdir(path, 0o755)
  atexit { try? FileManager.default.removeItem(atPath: "/dev/shm/mmoe-fuzz-\(getpid())") }
  return path
}()

/// Writes a file of the fuzzed folder and returns its path.
func fuzzFile(_ name: String, _ bytes: some Sequence<UInt8>) -> String {
  let path = fuzzFolder + "/" + name
  guard FileManager.default.createFile(atPath: path, contents: Data(bytes)) else { fatalError("\(path): not written") }
  return path
}

/// Runs a reader that may refuse the input, in one line and in words of ours. Anything else ends the process: that is how
/// libFuzzer learns of a finding and keeps its input.
func mayRefuse(_ body: () throws -> Void) {
  do {
    try body()
  } catch {
    let line = "\(error)"
    let isOurs = !(error is DecodingError) && !(error is CocoaError)
    guard isOurs, !line.isEmpty, !line.utf8.contains(0x0A), !line.utf8.contains(0x0D) else {
      fatalError("not one line of ours: \(line)")
    }
  }
}
