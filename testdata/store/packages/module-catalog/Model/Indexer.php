<?php

declare(strict_types=1);

namespace Magento\Catalog\Model;

class Indexer
{
    public const BATCH = 100;

    /** @param string[] $skus */
    public function run(array $skus, int $batch = self::BATCH): void
    {
        foreach (array_chunk($skus, $batch) as $chunk) {
            $this->runBatch($chunk);
        }
    }

    /** @param string[] $skus */
    protected function runBatch(array $skus): void
    {
    }
}
