<?php

declare(strict_types=1);

namespace Magento\Catalog\Plugin;

use Magento\Catalog\Api\ProductRepositoryInterface;
use Magento\Theme\Model\BlockFactory;
use Magento\Theme\Model\Page;

/** Puts the products onto the page. */
class ShowProducts
{
    public function __construct(private ProductRepositoryInterface $products, private BlockFactory $blockFactory)
    {
    }

    public function afterGetBlocks(Page $page, array $blocks): array
    {
        foreach ($this->products->getList() as $product) {
            $price = number_format($product->getPrice() / 100, 2);
            $blocks[] = $this->blockFactory->create(['title' => $product->getSku(), 'text' => $price]);
        }
        return $blocks;
    }
}
