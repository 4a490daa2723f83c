import CHDF5
import Foundation

/// Whatever a checkpoint's user block holds, the file is refused in one line before HDF5 sees it, unless every byte is as
/// the block says.
///
/// The first byte chooses: the file as it is; a block whose own checksum is right, as a stranger can make it; the line of
/// a checkpoint that names a part.
func fuzzCheckpoint(_ input: UnsafeBufferPointer<UInt8>) {
  let bytes = Array(input)
  guard let kind = bytes.first else { return }
  let content = Array(bytes.dropFirst())
  switch kind & 3 {
  case 0: verify(content)
  case 1:
    // Version, length and payload checksum from the input, the rest as it must be.
    var block = [UInt8](repeating: 0, count: UserBlock.size)
    block.replaceSubrange(0..<8, with: UserBlock.magic)
    for (i, byte) in content.prefix(24).enumerated() { block[8 + i] = byte }
    let sum = block.withUnsafeBytes { mmoe_checksum($0.baseAddress, UserBlock.size - 8) }
    withUnsafeBytes(of: sum.littleEndian) { block.replaceSubrange(UserBlock.size - 8..<UserBlock.size, with: $0) }
    verify(block + content.dropFirst(24))
  default:
    let line = String(decoding: content, as: UTF8.self)
    if let part = CheckpointPart(line: line) {
      precondition(CheckpointPart(line: part.line) == part)
      precondition(!CheckpointPart.isName(part.name) || !part.name.contains("/"))
    }
    _ = CheckpointPart.isName(line)
  }
}

private func verify(_ bytes: [UInt8]) {
  let path = fuzzFile("checkpoint.h5", bytes)
  mayRefuse {
    let summary = try CheckpointFile.verify(path)
    precondition(summary.bytes == bytes.count && bytes.count >= UserBlock.size)
  }
}
